"""Admission: who may start a request, how long it may go on, and that each one leaves exact readings of its usage.

`Admission.admit` lets a request in or raises the contract's error, `Renewals` looks after the ones that run,
`Admission.finish` ends them. All decisions are made in Redis, in Lua scripts that are one atomic step each.
"""

from aldea.admission.desk import Admission
from aldea.admission.grant import Grant, Verdict
from aldea.admission.renewal import Renewable, Renewals

__all__ = ["Admission", "Grant", "Renewable", "Renewals", "Verdict"]
