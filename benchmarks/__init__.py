"""Measurements, each a command that prints both sides of a comparison: `python -m benchmarks.<name>` from the root.

| command | compares |
| --- | --- |
| train_step | a training step of preset paper with PyTorch's |
| upsample_conv | ways to enlarge and convolve |
| input | the training input with PyTorch's DataLoader and Pillow |
| inference | an exported model with PyTorch and ONNX Runtime |
| serving_overhead | gRPC and REST with a direct call |
| batch_predict | batch prediction with the direct batched call |
| gpu | a training step on a GPU with PyTorch's |

Two more measure one side alone: startup (time until the first answer or step) and growth (time and
memory with the number of cases). Two are simulations of statistics: coverage (how often intervals hold the
true value) and blessing (which candidates a release refuses).

Results: docs/performance.md, docs/performance_growth.md, docs/serving_server.md,
docs/batch_predict.md, docs/evaluation.md, docs/release.md.
"""

from amfam_tf.fast_kernels import prefer_fast_kernels

# As the command line does, before any of them imports TensorFlow.
prefer_fast_kernels()
