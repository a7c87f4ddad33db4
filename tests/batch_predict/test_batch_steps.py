"""The steps on Beam alone: runners that tear a shard apart, answers that are none, files that cannot be written."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amfam_tf.batch_predict import shard_file
from amfam_tf.batch_predict.model import ExportedVersion
from amfam_tf.batch_predict.pair import DecodedPair, End, PredictedPair
from amfam_tf.beam import engine as beam_engine
from amfam_tf.errors import DataError
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

VERSION = ExportedVersion(Path("/models/lesions/1"), "lesions", 1, "f" * 64, card=DERM7PT)
SIZE = 2


def outputs_of(rows: int, value: float = 0.25) -> dict[str, np.ndarray]:
    outputs = {task.name: np.full((rows, len(task.classes)), value, np.float32) for task in TASKS}
    return outputs | {"melanoma_probability": np.zeros(rows, np.float32), "seven_point_score": np.zeros(rows, np.int32)}


def answers(shard: int, count: int) -> list[PredictedPair | End]:
    outputs = {name: values[0] for name, values in outputs_of(1).items()}
    found = [PredictedPair(shard, position, 100 * shard + position, outputs) for position in range(count)]
    return [*found, End(shard, count)]


class Model:
    """Answers with a value that each pair's clinical picture starts with; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def predict(self, squares: dict[str, np.ndarray], metadata: list[dict[str, str]]) -> dict[str, np.ndarray]:
        assert len(metadata) == len(squares["clinical"])
        values = squares["clinical"][:, 0, 0, 0]
        self.asked.append(values.tolist())
        outputs = outputs_of(len(values))
        outputs["DIAG"] = np.where(values[:, np.newaxis] == 255, np.nan, outputs["DIAG"] + values[:, np.newaxis])
        return outputs


def pair(position: int, value: int | None) -> DecodedPair:
    squares = None if value is None else {name: np.full((SIZE, SIZE, 3), value, np.uint8) for name in MODALITIES}
    return DecodedPair(0, position, position, squares, "no picture" if value is None else None)


def test_whatever_bundles_a_runner_makes_the_files_are_the_same(tmp_path):
    with beam_engine.quiet():
        beam = beam_engine.find_beam()
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        from amfam_tf.batch_predict.steps import WriteCollected, WriteShards

        items = [item for shard, count in enumerate((5, 0, 6)) for item in answers(shard, count)]
        random.Random(1).shuffle(items)
        paths = {shard: str(tmp_path / f"torn-{shard}.parquet") for shard in range(3)}
        options = PipelineOptions(["--direct_num_workers=3", "--direct_running_mode=multi_threading"])
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            left = pipeline | beam.Create(items) | beam.Reshuffle() | beam.ParDo(WriteShards(paths, VERSION))
            _ = left | beam.GroupByKey() | beam.ParDo(WriteCollected(paths, VERSION))
            _ = left | beam.combiners.Count.PerKey() | beam.Map(lambda torn: (tmp_path / f"in-{torn[1]}").touch())
    assert (tmp_path / "in-3").exists()  # some shard's answers came in three bundles
    for shard, count in enumerate((5, 0, 6)):
        whole = tmp_path / f"whole-{shard}.parquet"
        shard_file.write_shard(str(whole), answers(shard, count)[:-1], "lesions", 1, "f" * 64, card=DERM7PT)
        assert Path(paths[shard]).read_bytes() == whole.read_bytes()
        assert pd.read_parquet(whole)["case_num"].tolist() == [100 * shard + number for number in range(count)]


def test_answers_that_got_lost_are_no_file(tmp_path):
    from amfam_tf.batch_predict.steps import write_items

    with pytest.raises(ValueError, match="2 answers, expected as many as"):
        write_items(str(tmp_path / "x.parquet"), answers(0, 3)[1:], VERSION)
    assert not list(tmp_path.iterdir())


def test_the_model_is_asked_about_good_pairs_only_and_each_gets_its_own_answer():
    from amfam_tf.batch_predict.steps import NOT_FINITE, VersionHandler

    model, handler = Model(), VersionHandler(VERSION)
    batch = [pair(0, 1), pair(1, None), pair(2, 255), pair(3, 4)]
    found = handler.run_inference(batch, model)
    assert model.asked == [[1, 255, 4]]
    assert [(answer.position, answer.error) for answer in found] == [
        (0, None),
        (1, "no picture"),
        (2, NOT_FINITE.format("DIAG")),
        (3, None),
    ]
    assert [None if answer.outputs is None else float(answer.outputs["DIAG"][0]) for answer in found] == [
        1.25,
        None,
        None,
        4.25,
    ]
    assert handler.get_num_bytes(batch) == 3 * 2 * SIZE * SIZE * 3


def test_without_a_good_pair_the_model_is_not_asked():
    from amfam_tf.batch_predict.steps import VersionHandler

    model, end = Model(), End(0, 1)
    handler = VersionHandler(VERSION)
    assert handler.run_inference([pair(0, None)], model)[0].error == "no picture"
    assert handler.run_inference([end], model) == [end]
    assert model.asked == []


def test_of_equal_probabilities_the_first_class_is_predicted_as_in_predictions_csv(tmp_path):
    path = tmp_path / "x.parquet"
    shard_file.write_shard(str(path), answers(0, 1)[:-1], "lesions", 1, "f" * 64, card=DERM7PT)
    table = pd.read_parquet(path)
    assert [table[f"{task.name}_pred"][0] for task in TASKS] == [task.classes[0] for task in TASKS]


def test_a_file_that_cannot_be_written_or_read_is_named(tmp_path):
    path = tmp_path / "absent" / "x.parquet"
    with pytest.raises(DataError, match=f"cannot write {path}: No such file or directory"):
        shard_file.write_shard(str(path), [], "lesions", 1, "f" * 64, card=DERM7PT)
    damaged = tmp_path / "y.parquet"
    damaged.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=f"{damaged} is damaged: remove it and run the same command again"):
        shard_file.read_counts(damaged)
