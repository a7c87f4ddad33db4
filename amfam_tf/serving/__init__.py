"""Former names of what is in export/, server/, client/ and batch_predict/ now, for scripts that use them."""
