"""From data to a served version and back: the steps of a release, what each of them writes down, and roll-back.

`pipeline` wires the steps, `kubeflow` the same ones for Kubeflow. One file per concept:

| concept | files |
| --- | --- |
| what is wanted | configuration |
| the steps on data, named as in TFX | example_gen, example_validator |
| the steps on the model | trainer, evaluator, infra_validator, pusher |
| when a version is good enough | blessing, losses, served, served_predictions |
| what is written down | code, record, lineage, work_lineage, layout |
| what runs the steps | step, pipeline, local_runner, component, dry_run, kubeflow |
| back to an older version | rollback |
"""
