"""The fields of a FiftyOne dataset as `metadata.json` declares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from staa_cli.results.exports.tables import COLUMNS, Columns, Kind

Field = dict[str, Any]

_ELSEWHERE = frozenset(
    {"video", "label", "target", "moments", "duration_s", "frames", "rate", "width", "height"}
)
VIDEO_COLUMNS: Columns = {
    name: kind for name, kind in COLUMNS["videos"].items() if name not in _ELSEWHERE
}
"""Columns of the table of videos that are fields; the others are in the file path, in labels, or in
the metadata of the video."""

_KINDS: dict[Kind, str] = {
    "text": "String",
    "number": "Float",
    "count": "Int",
    "truth": "Boolean",
    "texts": "List",
}


def _field(
    name: str,
    kind: str,
    *,
    stored_as: str | None = None,
    items: str | None = None,
    document: str | None = None,
    fields: Sequence[Field] = (),
    read_only: bool = False,
) -> Field:
    return {
        "name": name,
        "ftype": f"fiftyone.core.fields.{kind}Field",
        "subfield": items and f"fiftyone.core.fields.{items}Field",
        "embedded_doc_type": document and f"fiftyone.core.{document}",
        "db_field": stored_as or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": None,
        "fields": list(fields),
    }


def _plain(columns: Columns) -> list[Field]:
    return [
        _field(name, _KINDS[kind], items="String" if kind == "texts" else None)
        for name, kind in columns.items()
    ]


def _document(name: str, document: str, *fields: Field) -> Field:
    return _field(name, "EmbeddedDocument", document=document, fields=fields)


def _list(name: str, kind: str, *fields: Field) -> Field:
    items = _field(
        "detections",
        "List",
        items="EmbeddedDocument",
        document=f"labels.{kind}",
        fields=(*_LABEL, *fields),
    )
    return _document(name, f"labels.{kind}s", items)


_ID = _field("id", "ObjectId", stored_as="_id")
_TAGS = _field("tags", "List", items="String")
_STAMPS = [_field(name, "DateTime", read_only=True) for name in ("created_at", "last_modified_at")]
_DATASET = _field("_dataset_id", "ObjectId")
_LABEL = (_ID, _TAGS, _field("label", "String"), _field("confidence", "Float"))
_CLASSIFICATION = (*_LABEL, _field("logits", "Vector"))
_VIDEO: Columns = {
    "size_bytes": "count",
    "mime_type": "text",
    "frame_width": "count",
    "frame_height": "count",
    "frame_rate": "number",
    "total_frame_count": "count",
    "duration": "number",
    "encoding_str": "text",
}

SAMPLE_FIELDS: list[Field] = [
    _ID,
    _field("filepath", "String"),
    _TAGS,
    _document("metadata", "metadata.VideoMetadata", *_plain(_VIDEO)),
    _field("_media_type", "String"),
    _field("_rand", "Float"),
    _DATASET,
    *_STAMPS,
    _document("prediction", "labels.Classification", *_CLASSIFICATION),
    _document("explained", "labels.Classification", *_CLASSIFICATION),
    _list(
        "moments",
        "TemporalDetection",
        _field("support", "FrameSupport", items="Int"),
        *_plain({"share": "number", "peak_s": "number", "peak_score": "number"}),
    ),
    *_plain(VIDEO_COLUMNS),
]
FRAME_FIELDS: list[Field] = [
    _ID,
    _field("frame_number", "FrameNumber"),
    _field("_sample_id", "ObjectId"),
    _DATASET,
    *_STAMPS,
    *_plain({"time_s": "number", "score": "number", "weighted_score": "number", "seen": "truth"}),
    _document(
        "heat",
        "labels.Heatmap",
        _ID,
        _TAGS,
        _field("map", "Array"),
        _field("map_path", "String"),
        _field("range", "HeatmapRange", items="Float"),
    ),
    _list(
        "peak",
        "Detection",
        _field("attributes", "Dict", items="EmbeddedDocument", document="labels.Attribute"),
        _field("bounding_box", "List", items="Float"),
        _field("mask", "Array"),
        _field("mask_path", "String"),
        _field("index", "Int"),
    ),
]
