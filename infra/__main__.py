"""The platform on AWS: read the stack's configuration, wire its components, export what people and workflows need."""

import pulumi

from aldea_infra import stack

for name, value in stack.build(stack.read(pulumi.Config())).items():
    pulumi.export(name, value)
