"""The release for Kubeflow Pipelines v2, see `amfam_tf.release.kubeflow`."""

from amfam_tf.release.kubeflow import COMPONENTS, NAME, WIRES, compile_pipeline, define

__all__ = ["COMPONENTS", "NAME", "WIRES", "compile_pipeline", "define"]
