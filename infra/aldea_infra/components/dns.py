"""The zone (looked up, never created), the certificate of the three hosts, and their alias records."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aldea_infra.components.imports import Adoption
from aldea_infra.config.sections import HostsSection


@dataclass(frozen=True, slots=True)
class CertificateArgs:
    """Which names, in which zone."""

    hosts: HostsSection
    zone_id: pulumi.Input[str]


class Certificate(pulumi.ComponentResource):
    """An ACM certificate, proven by records in the zone; `arn` resolves once AWS has validated it."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:dns:Certificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        hosts, self._zone_id = args.hosts, args.zone_id
        names = [hosts.api, hosts.backend, hosts.platform]
        certificate = aws.acm.Certificate(
            "certificate",
            domain_name=names[0],
            subject_alternative_names=names[1:],
            validation_method="DNS",
            opts=child,
        )
        records = [self._proof(certificate, host, child) for host in names]
        validation = aws.acm.CertificateValidation(
            "validated",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn for record in records],
            opts=child,
        )
        self.arn = validation.certificate_arn
        self.register_outputs({"arn": self.arn})

    def _proof(self, certificate: aws.acm.Certificate, host: str, child: pulumi.ResourceOptions) -> aws.route53.Record:
        """The record that proves `host`. AWS returns the options in any order, so each is found by its name."""
        option = certificate.domain_validation_options.apply(
            lambda options: next(each for each in options if each.domain_name == host)
        )
        return aws.route53.Record(
            f"proof-{host}",
            zone_id=self._zone_id,
            name=option.apply(lambda found: found.resource_record_name or ""),
            type=option.apply(lambda found: found.resource_record_type or ""),
            records=[option.apply(lambda found: found.resource_record_value or "")],
            ttl=300,
            allow_overwrite=True,  # two stacks may prove the same name
            opts=child,
        )


@dataclass(frozen=True, slots=True)
class AliasArgs:
    """Where the public names point."""

    zone_id: pulumi.Input[str]
    hosts: Sequence[str]
    target_name: pulumi.Input[str]
    target_zone_id: pulumi.Input[str]
    evaluate_target_health: bool


class Aliases(pulumi.ComponentResource):
    """Alias records of the public names to the accelerator or the load balancer."""

    def __init__(
        self, name: str, args: AliasArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:dns:Aliases", name, None, opts)
        for host in args.hosts:
            aws.route53.Record(
                f"alias-{host}",
                zone_id=args.zone_id,
                name=host,
                type="A",
                aliases=[
                    aws.route53.RecordAliasArgs(
                        name=args.target_name,
                        zone_id=args.target_zone_id,
                        evaluate_target_health=args.evaluate_target_health,
                    )
                ],
                opts=adoption.options(self, f"alias-{host}"),
            )
        self.register_outputs({})
