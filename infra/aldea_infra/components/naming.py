"""Names of cloud resources that people and other programs know; everything else is named by Pulumi."""

from dataclasses import dataclass

from aldea_infra.catalogue import Image
from aldea_infra.config.parse import StackConfig


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
    def refused_log_group(self) -> str:
        """Where the VPC's flow logs go."""
        return f"/vpc/{self.cluster}/refused"

    @property
    def waf_log_group(self) -> str:
        """Where the WAF logs; AWS requires the prefix."""
        return f"aws-waf-logs-{self.cluster}"

    @staticmethod
    def database_log_group(database: str) -> str:
        """Where RDS exports an instance's log to, under a name of its own."""
        return f"/aws/rds/instance/{database}/postgresql"

    def log_groups(self, database: str) -> tuple[str, ...]:
        """What every log group of the stack begins with; `database`: the RDS instance's identifier."""
        return (
            self.log_group(""),
            self.refused_log_group,
            self.waf_log_group,
            self.database_log_group(database),
            f"/aws/ecs/containerinsights/{self.cluster}/",
        )

    @property
    def migration_family(self) -> str:
        """The family of the task that migrates the database."""
        return f"{self.cluster}-migrate"

    @property
    def access_logs(self) -> str:
        """What the name of the access logs' bucket begins with; S3 wants 37 characters at most before its suffix."""
        return f"{self.cluster}-logs-"

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
