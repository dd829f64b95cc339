"""Certificates for servers under test, made anew for each run."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_EXPIRED = datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc)
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
"""The default context of Python 3.13 and newer trusts no authority without it."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority of its own."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    @classmethod
    def make(cls, name: str, issuer: Authority | None = None) -> Authority:
        """Signed by itself, or by `issuer`."""
        key = _new_key()
        builder = _builder(name, issuer or name, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
        return cls(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)

    def issue(self, name: str) -> tuple[str, str]:
        """Certificate and key for a host or a client, both PEM."""
        key = _new_key()
        return _signed(_named(_builder(name, self, key), name), self, key)

    def shaped(self, shape: str) -> tuple[str, str]:
        """Certificate and key of a server that is dialled as “localhost”, in a shape of `docs/certificates.md`."""
        if shape == "valid":
            return self.issue("localhost")
        if shape == "for another host":
            return self.issue("db.example.org")
        if shape == "under an unknown authority":
            return Authority.make(_common_name(self)).issue("localhost")
        if shape == "under an intermediate":
            middle = Authority.make("Test intermediate", self)
            certificate, key = middle.issue("localhost")
            return certificate + middle.pem, key
        own = _new_key()
        if shape == "signed by itself":
            builder = _named(_builder("localhost", "localhost", own), "localhost")
            return _pem(builder.sign(own, hashes.SHA256())), _key_pem(own)
        if shape == "common name only":
            return _signed(_builder("localhost", self, own), self, own)
        assert shape == "expired", f"{shape} is no shape of a certificate"
        return _signed(_named(_builder("localhost", self, own, until=_EXPIRED), "localhost"), self, own)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _common_name(authority: Authority) -> str:
    return str(authority.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _signed(builder: x509.CertificateBuilder, issuer: Authority, key: ec.EllipticCurvePrivateKey) -> tuple[str, str]:
    return _pem(builder.sign(issuer.key, hashes.SHA256())), _key_pem(key)


def _named(builder: x509.CertificateBuilder, name: str) -> x509.CertificateBuilder:
    """With `name` as its subject's alternative name."""
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    return builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)


def _builder(
    name: str, issuer: Authority | str, key: ec.EllipticCurvePrivateKey, until: datetime.datetime | None = None
) -> x509.CertificateBuilder:
    until = until or datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    issuer_key = key if isinstance(issuer, str) else issuer.key
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer if isinstance(issuer, str) else _common_name(issuer))])
        )
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - datetime.timedelta(days=2))
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
