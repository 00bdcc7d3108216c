"""`gcp-storage-emulator` with a bucket, and with the parts of the XML API that it lacks: `gcs.py PORT BUCKET`.

`object_store` speaks that API (https://cloud.google.com/storage/docs/xml-api/overview). The
emulator, as of 2026.7.19, implements the JSON API. Of the XML API, it reads without returning
`ETag` and `Last-Modified`, and writes without checking `x-goog-if-generation-match`. It neither
lists nor deletes, and has no uploads in parts. This program answers these requests as Google
documents them, with the emulator's own objects.
"""

import io
import logging
import secrets
import sys
import threading
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from gcp_storage_emulator import server
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.storage import Storage

# The number of objects in one page of a list.
PAGE = 1000
# The parts, by number, of each upload in progress.
UPLOADS = {}
# Requests are answered one after another, so that only one of two with the same condition succeeds.
ONE_BY_ONE = threading.Lock()


def asked(request, name):
    """A parameter of a request. The emulator does not report empty ones."""
    return parse_qs(urlparse(request.full_url).query, keep_blank_values=True).get(name, [None])[0]


def tell(response, name, fields):
    """Answers with an XML element, given as pairs of a name and either text or such pairs."""

    def element(name, value):
        inner = escape(value) if isinstance(value, str) else "".join(element(*pair) for pair in value)
        return f"<{name}>{inner}</{name}>"

    response.write_file("<?xml version='1.0' encoding='UTF-8'?>" + element(name, fields), "application/xml")


def refuse(response, status, code):
    response.status = status
    tell(response, "Error", [("Code", code), ("Message", code)])


def quoted(tag):
    return f'"{tag}"'


def known(request, storage):
    """The metadata of the requested object, or None."""
    return storage.objects.get(request.params["bucket_name"], {}).get(request.params["object_id"])


def describe(request, response, storage):
    held = known(request, storage)
    modified = datetime.strptime(held["updated"], "%Y-%m-%dT%H:%M:%S.%f%z")
    response["ETag"] = quoted(held["etag"])
    response["Last-Modified"] = format_datetime(modified, usegmt=True)
    response["x-goog-generation"] = held["generation"]


def write(request, response, storage, content):
    held = known(request, storage)
    generation = held["generation"] if held else "0"
    if request.get_header("x-goog-if-generation-match", generation) != generation:
        return refuse(response, HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
    request._data = content
    objects.xml_upload(request, response, storage)
    describe(request, response, storage)


def get(request, response, storage):
    if not known(request, storage):
        return refuse(response, HTTPStatus.NOT_FOUND, "NoSuchKey")
    objects.download(request, response, storage)
    describe(request, response, storage)


def put(request, response, storage):
    content = request.data or b""
    upload = asked(request, "uploadId")
    if request.get_header("x-goog-copy-source"):
        refuse(response, HTTPStatus.BAD_REQUEST, "NotImplemented")
    elif upload is None:
        write(request, response, storage, content)
    elif upload in UPLOADS:
        UPLOADS[upload][asked(request, "partNumber")] = content
        response["ETag"] = quoted(objects._md5(content))
    else:
        refuse(response, HTTPStatus.NOT_FOUND, "NoSuchUpload")


def post(request, response, storage):
    """Begins an upload in parts, or ends one."""
    upload = asked(request, "uploadId")
    if upload is None:
        upload = secrets.token_hex(16)
        UPLOADS[upload] = {}
        return tell(response, "InitiateMultipartUploadResult", [("UploadId", upload)])
    if upload not in UPLOADS:
        return refuse(response, HTTPStatus.NOT_FOUND, "NoSuchUpload")
    parts = []
    for part in ElementTree.fromstring(request.data).iter("Part"):
        content = UPLOADS[upload].get(part.findtext("PartNumber"))
        if content is None or part.findtext("ETag") != quoted(objects._md5(content)):
            return refuse(response, HTTPStatus.BAD_REQUEST, "InvalidPart")
        parts.append(content)
    del UPLOADS[upload]
    write(request, response, storage, b"".join(parts))
    tell(response, "CompleteMultipartUploadResult", [("ETag", response["ETag"])])


def delete(request, response, storage):
    upload = asked(request, "uploadId")
    if upload is None and not known(request, storage):
        return refuse(response, HTTPStatus.NOT_FOUND, "NoSuchKey")
    if upload is None:
        objects.delete(request, response, storage)
    UPLOADS.pop(upload, None)
    response.status = HTTPStatus.NO_CONTENT


def list_bucket(request, response, storage):
    after = asked(request, "continuation-token") or asked(request, "start-after") or ""
    bucket, prefix, delimiter = request.params["bucket_name"], asked(request, "prefix"), asked(request, "delimiter")
    found, prefixes = storage.get_file_list(bucket, prefix, delimiter)
    found = [held for held in found if held["name"] > after]
    fields = []
    for held in found[:PAGE]:
        told = [("Key", held["name"]), ("LastModified", held["updated"]), ("Size", held["size"])]
        fields.append(("Contents", told + [("ETag", quoted(held["etag"]))]))
    fields += [("CommonPrefixes", [("Prefix", prefix)]) for prefix in prefixes]
    if len(found) > PAGE:
        fields.append(("NextContinuationToken", found[PAGE - 1]["name"]))
    tell(response, "ListBucketResult", fields)


def of_bucket(handler):
    """The handler, for requests to the existing bucket."""

    def handle(request, response, storage):
        if request.params["bucket_name"] in storage.buckets:
            return handler(request, response, storage)
        refuse(response, HTTPStatus.NOT_FOUND, "NoSuchBucket")

    return handle


class Handler(server.RequestHandler):
    def answer(self):
        with ONE_BY_ONE:
            server.Router(self).handle(self.command)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def end_headers(self):
        super().end_headers()
        if self.command == "HEAD":
            self.wfile = io.BytesIO()


# The last of the emulator's own handlers implements the XML API.
server.HANDLERS = server.HANDLERS[:-1] + (
    (r"^/(?P<bucket_name>[^/]+)/?$", {"GET": of_bucket(list_bucket)}),
    (
        r"^/(?P<bucket_name>[^/]+)/(?P<object_id>.+)$",
        {
            "GET": of_bucket(get),
            "HEAD": of_bucket(get),
            "PUT": of_bucket(put),
            "POST": of_bucket(post),
            "DELETE": of_bucket(delete),
        },
    ),
)
logging.basicConfig(level=logging.INFO)
storage = Storage(use_memory_fs=True)
buckets.create_bucket(sys.argv[2], storage)
ThreadingHTTPServer.request_queue_size = 100
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), partial(Handler, storage)).serve_forever()
