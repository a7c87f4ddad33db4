"""The names of the signatures of an exported version, see `amfam_tf.export.signatures`."""

SERVING_DEFAULT = "serving_default"
PREDICT_IMAGES = "predict_images"
PREDICT_EXAMPLES = "predict_examples"
EXPLAIN = "explain"
DESCRIBE = "describe"
SIGNATURES = (SERVING_DEFAULT, PREDICT_IMAGES, PREDICT_EXAMPLES, EXPLAIN, DESCRIBE)
