"""Releases onto disks that are full or read-only, with stand-ins for the slow parts."""

import pytest
import stand_ins
from small_disks import full_disk, read_only_disk

from amfam_tf.cli.main import main
from amfam_tf.files import publish
from amfam_tf.release import served


def release(folder, source, capsys, *words, **places) -> tuple[int, str]:
    """Runs the command line; returns the exit status and what is on stderr."""
    text = stand_ins.config_text(folder, source)
    for name, place in places.items():
        text = "\n".join(f"{name}: {place}" if line.startswith(f"{name}: ") else line for line in text.splitlines())
    (folder / "release.yaml").write_text(text)
    status = main(["release", "--config", str(folder / "release.yaml"), *words])
    return status, capsys.readouterr().err


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kilobytes", [8, 60, 120, 200])
def test_a_full_work_folder_is_one_line_and_with_room_the_release_goes_on(kilobytes, tmp_path, tiny_source, capsys):
    with full_disk(tmp_path / "disk", kilobytes, of_one_file=False) as disk:
        work = disk.folder / "work"
        status, shown = release(tmp_path, tiny_source, capsys, work=work)
        assert status == 1
        assert shown.startswith(f"error: cannot write to {work}")
        assert shown.endswith(f": {disk.reason}\n")
        assert shown.count("\n") == 1
        assert publish.versions(tmp_path / "models" / "lesions") == []
    status, _ = release(tmp_path, tiny_source, capsys)
    assert status == 0
    served.read(tmp_path / "models" / "lesions" / "1")


@pytest.mark.usefixtures("quick")
def test_a_full_folder_of_versions_is_one_line_and_leaves_no_version(tmp_path, tiny_source, capsys):
    with full_disk(tmp_path / "disk", 12, of_one_file=False) as disk:
        base = disk.folder / "lesions"
        status, shown = release(tmp_path, tiny_source, capsys, model=base)
        assert (status, shown) == (1, f"error: cannot write to {base}: {disk.reason}\n")
        assert publish.versions(base) == []


@pytest.mark.usefixtures("quick")
def test_read_only_folders_are_one_line_and_a_dry_run_tells_before(tmp_path, tiny_source, capsys):
    with read_only_disk(tmp_path / "disk") as disk:
        base, work = disk.folder / "lesions", disk.folder / "work"
        status, shown = release(tmp_path, tiny_source, capsys, model=base)
        assert (status, shown) == (1, f"error: cannot write to {base}: {disk.reason}\n")
        status, shown = release(tmp_path, tiny_source, capsys, "--dry-run", work=work)
        assert (status, shown) == (1, f"error: {work} cannot be written: {disk.folder} is read-only\n")
        status, shown = release(tmp_path, tiny_source, capsys, work=work)
        assert status == 1
        assert shown.count("\n") == 1
        assert shown.endswith(f"{work}: {disk.reason}\n")
