"""What the ids in usage and in the audit log are called: keys and members that are there still."""

import asyncio

from frontend.api import if_any
from frontend.models import KeyList, MemberList
from frontend.page_views import PageView
from frontend.usage_view import key_names


async def of_keys(view: PageView) -> dict[str, str]:
    """Names of the project's keys, by their id."""
    found = await if_any(view.api.get(f"{view.api_path}/keys", KeyList))
    return key_names(found.api_keys) if found else {}


async def of_members(view: PageView) -> dict[str, str]:
    """Addresses of the project's members, by their id."""
    found = await if_any(view.api.get(f"{view.api_path}/members", MemberList))
    return {member.member_id: member.email for member in found.members} if found else {}


async def of_users(view: PageView) -> dict[str, str]:
    """Who used the project, by the id that their usage is booked on: keys, and members in the playground."""
    keys, members = await asyncio.gather(of_keys(view), of_members(view))
    return {**keys, **{member_id: f"{email}, playground" for member_id, email in members.items()}}
