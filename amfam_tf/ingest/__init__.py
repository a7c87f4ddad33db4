"""From a data set or a table of pairs to a folder of records: the work of the steps, without the engine that runs them.

`pipeline` wires it on Apache Beam. One file per concept: where pairs come from (`source`, `data_set`,
`pair_table`, `files`), what happens to one pair (`picture`, `shard`), what is told about all of them (`statistics`,
`schema`, `duplicates`, `anomalies`), and where it goes (`output`, `report`).
"""
