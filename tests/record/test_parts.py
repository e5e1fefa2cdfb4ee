"""The record on disk: what was appended is read back, and half a part is never seen."""

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crosstalk.record.parts as parts_module
from crosstalk.record.columns import rows_of
from crosstalk.record.parts import Record, RecordError, RecordWriter, arrow_schema
from crosstalk.record.rows import COLUMNS, SCHEMA_VERSION, TABLES
from tests.record.test_columns import as_dicts, rows

SETTINGS = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def exposure(n):
    return ("w1", 1, n, n, 0, 0, 0, 0)


def written(folder, **run):
    writer = RecordWriter(folder)
    writer.write_run(run)
    return writer


@pytest.mark.parametrize("table", TABLES)
@SETTINGS
@given(data=st.data())
def test_what_is_written_is_read_back_nulls_and_all(tmp_path_factory, table, data):
    given_rows = data.draw(rows(table))
    folder = tmp_path_factory.mktemp("record")
    writer = written(folder)
    writer.append(table, given_rows)
    writer.flush()
    assert rows_of(Record(folder).table(table)) == as_dicts(table, given_rows)
    assert writer.rows_written[table] == len(given_rows)


def test_parts_come_back_in_the_order_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "PART_ROWS", 3)
    writer = written(tmp_path)
    for n in range(20):
        writer.append("exposure", [exposure(n)])
    assert len(list((tmp_path / "exposure").glob("part-*.parquet"))) == 6, "the last two rows are still pending"
    assert Record(tmp_path).table("exposure")["opportunities"].tolist() == list(range(18))
    writer.flush()
    assert Record(tmp_path).table("exposure")["opportunities"].tolist() == list(range(20))


def test_a_table_without_rows_is_an_empty_table(tmp_path):
    written(tmp_path).flush()
    table = Record(tmp_path).table("violations")
    assert list(table) == list(COLUMNS["violations"])
    assert len(table["name"]) == 0


def test_half_a_part_is_never_seen(tmp_path):
    writer = written(tmp_path)
    writer.append("exposure", [exposure(1)])
    writer.flush()
    [part] = (tmp_path / "exposure").iterdir()
    (tmp_path / "exposure" / "part-00001.tmp").write_bytes(part.read_bytes()[:40])
    assert Record(tmp_path).table("exposure")["opportunities"].tolist() == [1]


def test_a_writer_that_dies_in_the_middle_of_a_part_leaves_the_others_readable(tmp_path, monkeypatch):
    writer = written(tmp_path)
    writer.append("exposure", [exposure(1)])
    writer.flush()
    whole = pq.write_table

    def torn(table, where, **more):
        whole(table, where, **more)
        where.write_bytes(where.read_bytes()[:40])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", torn)
    writer.append("exposure", [exposure(2)])
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    assert Record(tmp_path).table("exposure")["opportunities"].tolist() == [1]
    monkeypatch.setattr(pq, "write_table", whole)
    writer.flush()
    assert Record(tmp_path).table("exposure")["opportunities"].tolist() == [1, 2], "rows wait until they are on disk"


def test_the_schema_says_which_columns_may_be_null():
    schema = arrow_schema("runs")
    assert schema.names == list(COLUMNS["runs"])
    assert (schema.field("end_ns").nullable, schema.field("sent_ns").nullable) == (True, False)
    assert schema.field("warm_up").type == pa.bool_()


def test_run_json_is_replaced_as_a_whole_and_says_its_schema(tmp_path):
    writer = written(tmp_path, note="a much longer first version")
    writer.write_run({"note": "second"})
    assert orjson.loads((tmp_path / "run.json").read_bytes()) == {"schema": SCHEMA_VERSION, "note": "second"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert Record(tmp_path).run["note"] == "second"


# --- what cannot be read --------------------------------------------------------------------------------------------


def test_a_folder_without_a_record_says_what_to_name(tmp_path):
    with pytest.raises(RecordError, match=r"holds no record: run.json is missing; name a folder under results/"):
        Record(tmp_path)


def test_a_record_of_another_schema_names_both(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(RecordError, match=rf"was written with schema 99; this version reads {SCHEMA_VERSION}"):
        Record(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "not JSON"])
def test_a_run_json_that_is_no_json_says_so(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError, match=r"run\.json is not readable JSON"):
        Record(tmp_path)


@pytest.mark.parametrize("text", ["[]", "7", "null"])
def test_a_run_json_that_is_no_object_says_so(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError):
        Record(tmp_path)


def test_a_part_that_is_damaged_is_named(tmp_path):
    writer = written(tmp_path)
    writer.append("exposure", [exposure(1)])
    writer.flush()
    [part] = (tmp_path / "exposure").iterdir()
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(RecordError, match=r"part-00000\.parquet"):
        Record(tmp_path).table("exposure")


def test_a_part_of_another_version_names_the_column_it_lacks(tmp_path):
    written(tmp_path)
    (tmp_path / "exposure").mkdir()
    pq.write_table(pa.table({"worker": ["w1"]}), tmp_path / "exposure" / "part-00000.parquet")
    with pytest.raises(RecordError, match="channel"):
        Record(tmp_path).table("exposure")
