"""Global Accelerator in front of a private load balancer: two fixed addresses, client addresses preserved."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aldea_infra.components.imports import Adoption
from aldea_infra.components.load_balancer import FLOW_LOG_PREFIX


@dataclass(frozen=True, slots=True)
class AcceleratorArgs:
    """What the accelerator needs to know."""

    name: str
    region: str
    balancer_arn: pulumi.Input[str]
    protect: bool
    log_bucket: pulumi.Input[str]  # of its flow logs; its policy must be there before
    log_policy: pulumi.Resource


class Accelerator(pulumi.ComponentResource):
    """TCP 443 and 80 to the load balancer of one region."""

    def __init__(
        self, name: str, args: AcceleratorArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:edge:Accelerator", name, None, opts)
        self.accelerator = aws.globalaccelerator.Accelerator(
            "accelerator",
            name=args.name,
            ip_address_type="IPV4",
            enabled=True,
            attributes=aws.globalaccelerator.AcceleratorAttributesArgs(
                flow_logs_enabled=True, flow_logs_s3_bucket=args.log_bucket, flow_logs_s3_prefix=FLOW_LOG_PREFIX
            ),
            # Customers have its two addresses in their firewalls.
            opts=adoption.options(self, "accelerator", protect=args.protect, depends_on=[args.log_policy]),
        )
        listener = aws.globalaccelerator.Listener(
            "accelerator",
            accelerator_arn=self.accelerator.arn,
            protocol="TCP",
            port_ranges=[
                aws.globalaccelerator.ListenerPortRangeArgs(from_port=port, to_port=port) for port in (80, 443)
            ],
            opts=adoption.options(self, "accelerator-listener"),
        )
        aws.globalaccelerator.EndpointGroup(
            "accelerator",
            listener_arn=listener.arn,
            endpoint_group_region=args.region,
            endpoint_configurations=[
                aws.globalaccelerator.EndpointGroupEndpointConfigurationArgs(
                    endpoint_id=args.balancer_arn,
                    weight=128,
                    # The WAF and the services see the client's own address.
                    client_ip_preservation_enabled=True,
                )
            ],
            opts=adoption.options(self, "accelerator-endpoints"),
        )
        self.dns_name = self.accelerator.dns_name
        self.zone_id = self.accelerator.hosted_zone_id
        self.register_outputs({"dnsName": self.dns_name})
