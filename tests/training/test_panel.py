import numpy as np

from amfam_tf.training.panel import GAP, HEADER, draw_panel


def test_every_cell_is_at_its_place():
    side, cases = 8, 2
    random = np.random.default_rng(0)
    batch = {name: random.random((cases, side, side, 3)).astype(np.float32) for name in ("clinical", "dermoscopic")}
    outputs = {
        "attention_clinical": np.zeros((cases, side, side, 1), np.float32),
        "reconstruction_clinical": np.full((cases, side, side, 3), 2.0, np.float32),  # above 1: shown as white
    }
    panel = draw_panel(batch, outputs)
    cell = side + GAP
    assert panel.shape == (HEADER + cases * cell, 4 * cell, 3)

    def at(row, column):
        top, left = HEADER + row * cell, column * cell
        return panel[top : top + side, left : left + side]

    for case in range(cases):
        np.testing.assert_array_equal(at(case, 0), np.round(batch["clinical"][case] * 255))
        assert len(np.unique(at(case, 1).reshape(-1, 3), axis=0)) == 1  # a constant map is one colour
        assert (at(case, 2) == 255).all()
        np.testing.assert_array_equal(at(case, 3), np.round(batch["dermoscopic"][case] * 255))
    assert (panel[:HEADER] < 128).any()  # titles
