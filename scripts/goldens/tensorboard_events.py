#!/usr/bin/env python3
"""Writes crates/onecycle-tensorboard/tests/goldens/events.bin: an event file made by TensorBoard's own messages and
record writer. Needs `pip install tensorboard`; TensorBoard 2.21.0 wrote the file in the repository."""
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + bytes([0, 0, 0, 3, 0, 0, 0, 2])


def shape(*sizes):
    return tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes])


def value(tag, plugin, data_class, tensor, content=b""):
    data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    metadata = summary_pb2.SummaryMetadata(plugin_data=data, data_class=data_class)
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


def strings(*texts, size=()):
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape(*size), string_val=texts)


def hparams(tag, **data):
    content = plugin_data_pb2.HParamsPluginData(**data).SerializeToString(deterministic=True)
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape(1), float_val=[0.0])
    return value(f"_hparams_/{tag}", "hparams", summary_pb2.DATA_CLASS_TENSOR, tensor, content)


def summary(step, *values):
    return event_pb2.Event(wall_time=1.5, step=step, summary=summary_pb2.Summary(value=values))


start = plugin_data_pb2.SessionStartInfo(group_name="one-cycle", start_time_secs=1.5)
start.hparams["lr_max"].number_value = 0.5
end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=2.5)
discrete = api_pb2.HParamInfo(name="lr_max", type=api_pb2.DATA_TYPE_FLOAT64)
discrete.domain_discrete.extend([0.5, 1.0])
experiment = api_pb2.Experiment(
    time_created_secs=1.5,
    hparam_infos=[discrete],
    metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag="loss"), display_name="the loss")],
)
events = [
    event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
    event_pb2.Event(wall_time=1.5, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
    summary(300, summary_pb2.Summary.Value(tag="loss", simple_value=0.25),
            summary_pb2.Summary.Value(tag="lr", simple_value=float("inf"))),
    summary(0, value("notes", "text", summary_pb2.DATA_CLASS_TENSOR, strings(b"**bold**"))),
    summary(7, value("figure", "images", summary_pb2.DATA_CLASS_BLOB_SEQUENCE, strings(b"3", b"2", PNG, size=(3,)))),
    summary(0, hparams("session_start_info", session_start_info=start)),
    summary(0, hparams("session_end_info", session_end_info=end)),
    summary(0, hparams("experiment", experiment=experiment)),
]
path = Path(__file__).parents[2] / "crates/onecycle-tensorboard/tests/goldens/events.bin"
with open(path, "wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
print(f"{path}: {path.stat().st_size} bytes; masked_crc32c(b'123456789') = {masked_crc32c(b'123456789'):#x}")
