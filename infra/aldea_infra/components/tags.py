"""The tags of every resource, set once as the provider's defaults."""

from typing import Final

from aldea_infra.config.parse import StackConfig

# Whose resource it is: permissions of a deployment are conditioned on it.
CLUSTER_TAG: Final = "Cluster"


def tags(config: StackConfig) -> dict[str, str]:
    """Whose it is, by which program, for which deployment: what cost reports and clean-ups group by."""
    return {
        "Project": "aldea-asr-platform",
        "Environment": config.stack.environment,
        CLUSTER_TAG: config.stack.cluster,
        "ManagedBy": "pulumi",
    }
