"""The RDS roots in the images: readable, complete for our regions, and good for another year."""

import ssl
import time
from pathlib import Path

BUNDLE = Path(__file__).resolve().parents[2] / "services" / "certificates" / "rds.pem"
YEAR_SECONDS = 365 * 86_400


def names_and_ends() -> dict[str, float]:
    """Each root's common name and when it ends, Unix seconds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(BUNDLE)
    found: dict[str, float] = {}
    for certificate in context.get_ca_certs():
        subject = dict(pair for part in certificate["subject"] for pair in part)  # type: ignore[misc]
        found[subject["commonName"]] = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return found


def test_every_root_parses_and_is_amazons() -> None:
    roots = names_and_ends()
    assert len(roots) == BUNDLE.read_text().count("BEGIN CERTIFICATE")
    assert all(name.startswith("Amazon RDS ") for name in roots)


def test_no_root_ends_within_a_year() -> None:
    assert not [name for name, end in names_and_ends().items() if end < time.time() + YEAR_SECONDS]


def test_the_regions_that_people_deploy_to_have_the_authority_that_the_database_uses() -> None:
    roots = names_and_ends()
    for region in ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"):
        assert f"Amazon RDS {region} Root CA RSA2048 G1" in roots
