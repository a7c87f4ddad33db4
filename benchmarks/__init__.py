"""Measurements, each a command that prints both sides of a comparison: `python -m benchmarks.<name>` from the root.

| command | compares |
| --- | --- |
| train_step | a training step of preset paper with PyTorch's |
| upsample_conv | ways to enlarge and convolve |
| input | the training input with PyTorch's DataLoader and Pillow |
| inference | an exported model with PyTorch and ONNX Runtime |
| serving_overhead | gRPC and REST with a direct call |

Results: docs/performance.md.
"""
