"""Makes the client of S3-compatible storage.

Address and credentials of the storage are found as every AWS tool finds them:
``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, profiles, roles.

Source: https://docs.aws.amazon.com/boto3 (boto3 1.44), "Configuration".
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

from kvasir.core.errors import SettingsError


def s3_client() -> Any:
    """Return a client; it connects to nothing yet, and the caller closes it.

    Raises:
        SettingsError: The environment or AWS's configuration files have an unusable value.
    """
    try:
        return boto3.client("s3")
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(
            f"S3 cannot be used: {error}; correct AWS_PROFILE, AWS_ENDPOINT_URL (such as "
            "http://localhost:9000), AWS_DEFAULT_REGION or the files in ~/.aws"
        ) from error
