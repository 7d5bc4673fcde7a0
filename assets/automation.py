"""When stages run by themselves: on changed data, on new snapshots, every week."""

import dagster as dg

_SAFE = (
    ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
_CHANGED = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).since_last_handled()

ON_ANY_CHANGE = (_CHANGED & _SAFE).with_label("an input's content changed")
"""For what rolls up many partitions: a missing one does not hold it back."""

ON_CHANGE = (_CHANGED & ~dg.AutomationCondition.any_deps_missing() & _SAFE).with_label("the input's content changed")
"""An input that was made anew with the same content asks for nothing."""

ON_NEW = (dg.AutomationCondition.on_missing() & dg.AutomationCondition.all_deps_blocking_checks_passed()).with_label(
    "a new snapshot"
)
"""For what is partitioned by snapshot, and so frozen: each key once, whatever changes upstream later."""

ON_NEW_RESULT = (
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated()).since_last_handled() & _SAFE
).with_label("a new evaluation")
"""For the report of a snapshot: after each evaluation of it."""
