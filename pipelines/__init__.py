"""Definitions of the pipelines that leave one machine: Apache Beam, the release pipeline, Kubeflow.

Thin: they wire steps, whose logic is in amfam_tf. Installed, this folder is the package `amfam_tf.pipelines` (a link in
amfam_tf/ points here), so that no module with the bare name `pipelines` lands among a user's packages.
"""
