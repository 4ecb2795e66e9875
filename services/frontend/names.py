"""What the ids in usage and in the audit log are called: keys and members that are there still."""

import asyncio
from typing import Any

from frontend.api import if_any
from frontend.usage_view import key_names
from frontend.visits import Visit


async def of_keys(visit: Visit) -> dict[str, str]:
    """Names of the project's keys, by their id."""
    found: Any = await if_any(visit.api.get(f"{visit.api_path}/keys"))
    return key_names(found["api_keys"]) if found else {}


async def of_members(visit: Visit) -> dict[str, str]:
    """Addresses of the project's members, by their id."""
    found: Any = await if_any(visit.api.get(f"{visit.api_path}/members"))
    return {member["member_id"]: member["email"] for member in found["members"]} if found else {}


async def of_users(visit: Visit) -> dict[str, str]:
    """Who used the project, by the id that their usage is booked on: keys, and members in the playground."""
    keys, members = await asyncio.gather(of_keys(visit), of_members(visit))
    return {**keys, **{member_id: f"{email}, playground" for member_id, email in members.items()}}
