"""ECR repositories, and the images in them: built and pushed by the program, or taken by digest from the config."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws
import pulumi_docker_build as docker_build

from aldea_infra.catalogue import Image
from aldea_infra.components.imports import Adoption
from aldea_infra.components.naming import Names

ROOT: Final = Path(__file__).resolve().parents[3]
PLATFORMS: Final = {"X86_64": docker_build.Platform.LINUX_AMD64, "ARM64": docker_build.Platform.LINUX_ARM64}
# Every image that is built carries the hash of its inputs as a tag, so only leftovers are ever untagged: no rule
# here can delete a digest that runs or that a rollback needs. docs/deploy.md says how old ones are removed.
UNTAGGED_DAYS: Final = 14
LIFECYCLE: Final = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "leftovers of interrupted pushes; a deployed image always carries a tag",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": UNTAGGED_DAYS,
            },
            "action": {"type": "expire"},
        }
    ]
}


@dataclass(frozen=True, slots=True)
class RegistryArgs:
    """`digests`: images by digest. The others are built if that is configured, else they are those that run already.

    `running`: the references that the stack's last deployment had, by image; None where none is needed.
    """

    names: Names
    architecture: str
    digests: Mapping[Image, str]
    running: pulumi.Output[Mapping[str, str] | None] | None
    force_delete: bool


class Registry(pulumi.ComponentResource):
    """A repository for each image; `references[image]` is `repository@sha256:…`."""

    def __init__(
        self, name: str, args: RegistryArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:registry:Registry", name, None, opts)
        self.references: dict[Image, pulumi.Output[str]] = {}
        self.arns: dict[Image, pulumi.Output[str]] = {}
        self.urls: dict[Image, pulumi.Output[str]] = {}
        for image in Image:
            repository = self._repository(image, args, adoption)
            digest = args.digests.get(image) or self._otherwise(image, repository, args)
            self.references[image] = pulumi.Output.concat(repository.repository_url, "@", digest)
            self.arns[image] = repository.arn
            self.urls[image] = repository.repository_url
        self.register_outputs({})

    def _repository(self, image: Image, args: RegistryArgs, adoption: Adoption) -> aws.ecr.Repository:
        repository = aws.ecr.Repository(
            f"{image}-repository",
            name=args.names.repository(image),
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")],
            force_delete=args.force_delete,
            opts=adoption.options(self, f"{image}-repository"),
        )
        aws.ecr.LifecyclePolicy(
            f"{image}-lifecycle",
            repository=repository.name,
            policy=json.dumps(LIFECYCLE),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return repository

    def _otherwise(self, image: Image, repository: aws.ecr.Repository, args: RegistryArgs) -> pulumi.Output[str]:
        if args.running is None:
            return self._build(image, repository, args)
        return args.running.apply(lambda found: _running_digest(image, found))

    def _build(self, image: Image, repository: aws.ecr.Repository, args: RegistryArgs) -> pulumi.Output[str]:
        login = aws.ecr.get_authorization_token_output(opts=pulumi.InvokeOutputOptions(parent=self))
        built = docker_build.Image(
            f"{image}-image",
            context=docker_build.BuildContextArgs(location=str(ROOT)),
            dockerfile=docker_build.DockerfileArgs(location=str(ROOT / "services" / "Dockerfile")),
            build_args={"SERVICE": image.package},
            platforms=[PLATFORMS[args.architecture]],
            # An immutable repository refuses a tag twice; the same inputs make the same tag and no new build.
            tags=[pulumi.Output.concat(repository.repository_url, ":", image_tag(image, PLATFORMS[args.architecture]))],
            push=True,
            build_on_preview=False,
            registries=[
                docker_build.RegistryArgs(
                    address=login.proxy_endpoint, username=login.user_name, password=login.password
                )
            ],
            # Deleting the resource would delete the digest, which a rollback may need.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        return built.digest


def _running_digest(image: Image, references: Mapping[str, str] | None) -> str:
    digest = (references or {}).get(image, "").rpartition("@")[2]
    if not digest:
        raise ValueError(
            f"images: got none for {image}, and none runs yet; allowed: a digest, or build: true for the first "
            "deployment. Run: pulumi config set build true, pulumi up, pulumi config rm build"
        )
    return digest


def image_tag(image: Image, platform: str) -> str:
    """The tag of an image built from this checkout: the hash of its inputs, and what it runs on."""
    return f"{inputs_hash(image)}-{platform.removeprefix('linux/')}"


def inputs_hash(image: Image, root: Path = ROOT) -> str:
    """The first 20 hexadecimal digits of a SHA-256 over every file that goes into the image."""
    services = root / "services"
    files = [services / "Dockerfile", root / "requirements" / f"{image.package}.txt", root / ".dockerignore"]
    # The canary's recording is in every image.
    files += [root / "onebox" / "samples" / name for name in ("speech.wav", "speech.txt")]
    if image is Image.BACKEND:
        files += [root / "docs" / "cli.md", root / "docs" / "clients.md", *(root / "docs").glob("speech-api*.md")]
    for folder in (
        services / "aldea",
        services / image.package,
        services / "certificates",
        root / "onebox" / "samples",
    ):
        files += [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    total = hashlib.sha256()
    for path in sorted(files):
        if path.exists():
            total.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:20]
