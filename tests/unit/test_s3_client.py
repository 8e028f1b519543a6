"""What is wrong with AWS's configuration is said in one line, wherever a bucket is used."""

import pytest
from libraries import library

from kvasir.core.errors import SettingsError
from kvasir.core.types import Source
from kvasir.services import make_spool
from kvasir.settings.schema import Settings

buckets = library("kvasir.ingesting.buckets", "boto3", extra="s3")
lambda_bucket = library("kvasir.frontends.aws_lambda.bucket", "boto3", extra="s3")
objects = library("kvasir.frontends.aws_lambda.objects", "boto3", extra="s3")

WRONG = [
    ("AWS_PROFILE", "nope", "profile .nope. could not be found"),
    ("AWS_ENDPOINT_URL", "localhost:9000", "Invalid endpoint: localhost:9000"),
    ("AWS_DEFAULT_REGION", "no region", "no region"),
]


def read_in_lambda():
    change = objects.Change("shelf", "tea.md", Source("s3://shelf/tea.md", ""))
    lambda_bucket.Bucket(max_bytes=1).read(change)


USES = {
    "sync": lambda: buckets.BucketFolder("s3://shelf/docs"),
    "spool": lambda: make_spool(Settings(server={"spool": "s3://shelf/uploads"})),
    "lambda": read_in_lambda,
}


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=[name for name, *_ in WRONG])
@pytest.mark.parametrize("use", USES)
def test_an_unusable_configuration_is_an_error_of_settings(monkeypatch, name, value, said, use):
    for each, *_ in WRONG:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said) as raised:
        USES[use]()
    assert "AWS_ENDPOINT_URL" in str(raised.value)
