"""Shoal every night, for Dagster 1.5 and later."""

import json
import subprocess

from dagster import (
    AssetExecutionContext,
    DailyPartitionsDefinition,
    Definitions,
    Failure,
    MaterializeResult,
    RetryRequested,
    asset,
    build_schedule_from_partitioned_job,
    define_asset_job,
)


@asset(partitions_def=DailyPartitionsDefinition(start_date="2025-01-01"))
def customer_scores(context: AssetExecutionContext) -> MaterializeResult:
    done = subprocess.run(
        ["shoal", "run", "--config", "/etc/shoal/shoal.yaml", "--date", context.partition_key, "--log", "json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    summary = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    if done.returncode in (75, 143):
        raise RetryRequested(max_retries=5, seconds_to_wait=300)
    if done.returncode != 0:
        raise Failure(description=f"exit code {done.returncode}: {summary.get('error', '')}", allow_retries=False)
    return MaterializeResult(
        metadata={"run_id": summary["run_id"], "status": summary["status"], "manifest": summary["manifest"]}
    )


nightly = define_asset_job("shoal_nightly", selection=[customer_scores])
defs = Definitions(
    assets=[customer_scores],
    jobs=[nightly],
    schedules=[build_schedule_from_partitioned_job(nightly, hour_of_day=4, minute_of_hour=30)],
)
