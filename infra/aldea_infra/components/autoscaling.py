"""Target tracking for an ECS service: CPU, and active streams per task where the service reports them."""

from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.components.metric_names import ACTIVE_STREAMS, NAMESPACE
from aldea_infra.components.naming import Names
from aldea_infra.config.sections import ServiceSection

# Growing is cheap and fast; a stream that found no room is a lost customer.
SCALE_OUT_SECONDS: Final = 60


def scale(
    name: str,
    section: ServiceSection,
    names: Names,
    cluster_name: pulumi.Output[str],
    service: aws.ecs.Service,
    parent: pulumi.Resource,
) -> None:
    """Register the service for scaling between its bounds. One task for ever needs no scaling."""
    if section.min_tasks == section.max_tasks:
        return
    opts = pulumi.ResourceOptions(parent=parent)
    target = aws.appautoscaling.Target(
        name,
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=pulumi.Output.concat("service/", cluster_name, "/", service.name),
        min_capacity=section.min_tasks,
        max_capacity=section.max_tasks,
        opts=opts,
    )

    def track(
        label: str, value: float, configuration: aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs
    ) -> None:
        configuration.target_value = value
        configuration.scale_out_cooldown = SCALE_OUT_SECONDS
        # At least the drain's length, or the next tasks are shed while the last ones still drain.
        configuration.scale_in_cooldown = section.scale_in_cooldown_seconds
        aws.appautoscaling.Policy(
            f"{name}-{label}",
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration=configuration,
            opts=opts,
        )

    tracking = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs
    predefined = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs
    custom = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs
    dimension = (
        aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationDimensionArgs
    )
    track(
        "cpu",
        section.cpu_target,
        tracking(
            target_value=section.cpu_target,
            predefined_metric_specification=predefined(predefined_metric_type="ECSServiceAverageCPUUtilization"),
        ),
    )
    if section.streams_target is not None:
        track(
            "streams",
            section.streams_target,
            tracking(
                target_value=section.streams_target,
                # Each task reports one value a minute, also zero: the average is streams per task.
                customized_metric_specification=custom(
                    namespace=NAMESPACE,
                    metric_name=ACTIVE_STREAMS,
                    statistic="Average",
                    dimensions=[dimension(name="ServiceName", value=names.prefixed(name))],
                ),
            ),
        )
