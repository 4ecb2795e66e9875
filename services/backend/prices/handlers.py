"""The prices' endpoints: the price book for operators, a project's own prices for its people."""

from typing import Final

from backend.api.access import InProject, Operator
from backend.api.endpoint import Call, Endpoint
from backend.prices import models
from backend.prices.errors import ERRORS, PriceTaken, PriceUnusable
from backend.prices.repository import PriceRow
from backend.prices.service import PRICES
from backend.usage.money import dollars


async def list_prices(call: Call) -> models.Prices:
    """The price book: what an hour of audio costs, by plan and service, since when."""
    return models.Prices(prices=[_shown(one) for one in await call.app[PRICES].all()])


async def add_price(call: Call) -> models.Price:
    """Add a price. Idempotent: the same price requested again is not added again. No price is ever changed."""
    body: models.AddPrice = call.body
    return _shown(
        await call.app[PRICES].add(
            call.actor,
            call.session.user_id,
            plan=body.plan,
            service=body.service,
            model=body.model,
            micros_per_hour=body.micros_per_hour,
            begins=body.effective_from,
        )
    )


async def list_project_prices(call: Call) -> models.ProjectPrices:
    """What an hour of audio costs this project, now and from when on it will cost something else."""
    return models.ProjectPrices(prices=[_shown(one) for one in await call.app[PRICES].of_project(call.project_id)])


def _shown(row: PriceRow) -> models.Price:
    return models.Price(
        price_id=row.price_id,
        plan=row.plan,
        service=row.service,
        model=row.model,
        micros_per_hour=row.micros_per_hour,
        price_per_hour=dollars(row.micros_per_hour),
        effective_from=row.effective_from,
        created=row.created,
    )


_PATH: Final = "/v1/operator/prices"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH, handler=list_prices, access=Operator(), tag="Operators", errors=ERRORS,
        summary="List prices", response=models.Prices,
    ),
    Endpoint(
        method="POST", path=_PATH, handler=add_price, access=Operator(), tag="Operators", errors=ERRORS,
        summary="Add a price", body=models.AddPrice, response=models.Price, raises=(PriceUnusable, PriceTaken),
    ),
    Endpoint(
        method="GET", path="/v1/projects/{project_id}/prices", handler=list_project_prices,
        access=InProject("billing:read"), tag="Billing", errors=ERRORS, summary="List what audio costs",
        response=models.ProjectPrices,
    ),
)  # fmt: skip
