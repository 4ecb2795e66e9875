"""Names of cloud resources that people and other programs know; everything else is named by Pulumi."""

from dataclasses import dataclass

from aldea_infra.catalogue import Image
from aldea_infra.config import StackConfig


@dataclass(frozen=True, slots=True)
class Names:
    """The fixed names of one deployment."""

    cluster: str
    prefix: str
    environment: str

    @staticmethod
    def of(config: StackConfig) -> "Names":
        """The names of a stack."""
        return Names(config.stack.cluster, config.stack.name_prefix, config.stack.environment)

    def prefixed(self, name: str) -> str:
        """A name that is unique in the account only by the stack's prefix (secrets, queues, metrics)."""
        return self.prefix + name

    def repository(self, image: Image) -> str:
        """The ECR repository of an image."""
        return f"{self.cluster}-{image}"

    def log_group(self, service: str) -> str:
        """Where a service's containers log."""
        return f"/ecs/{self.cluster}/{service}"

    @property
    def iam_path(self) -> str:
        """The path of the services' roles: what the deploy role may touch."""
        return f"/{self.cluster}/"

    @property
    def ci_path(self) -> str:
        """The path of the boundary and of GitHub's roles: out of the deploy role's own reach."""
        return f"/{self.cluster}-ci/"

    @property
    def boundary(self) -> str:
        """The permissions boundary's name; a path does not make a policy's name unique in its account."""
        return f"{self.cluster}-boundary"

    @property
    def namespace(self) -> str:
        """The Service Connect namespace."""
        return f"{self.cluster}.internal"
