"""The tags of every resource, set once as the provider's defaults."""

from aldea_infra.config import StackConfig


def tags(config: StackConfig) -> dict[str, str]:
    """Whose it is, by which program, for which deployment: what cost reports and clean-ups group by."""
    return {
        "Project": "aldea-asr-platform",
        "Environment": config.stack.environment,
        "Cluster": config.stack.cluster,
        "ManagedBy": "pulumi",
    }
