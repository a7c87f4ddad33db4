"""Batch prediction: an exported version over many pairs, to a folder of Parquet files; `pipeline` wires it on Beam.

| file | what it knows |
| --- | --- |
| source | what the pairs come from: a CSV of pairs, a data set, records |
| plan | how they are split into shards, and the manifest that says so |
| folder | the folder of results: new or the same one again, one process at a time |
| model | an exported version, loaded once in a process |
| decoding | the pairs of a shard as batches of squares, each picture on its own |
| steps | the steps on Beam: read, predict, write |
| shard_file | columns and bytes of a Parquet file |
| report | what was done, counted in the files |
"""
