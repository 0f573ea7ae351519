"""Shoal every night, for Airflow 2.4 and later."""

import subprocess
from datetime import datetime, timedelta

from airflow import DAG
from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.operators.python import PythonOperator


def shoal(date: str) -> str:
    """Runs a date; what it returns, the JSON summary, goes to XCom."""
    done = subprocess.run(
        ["shoal", "run", "--config", "/etc/shoal/shoal.yaml", "--date", date, "--log", "json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    summary = done.stdout.splitlines()[-1] if done.stdout else "{}"
    if done.returncode == 0:
        return summary
    if done.returncode == 99:
        raise AirflowSkipException(f"no input for {date}: {summary}")
    if done.returncode in (2, 65):
        raise AirflowFailException(f"exit code {done.returncode}, not to be retried: {summary}")
    raise AirflowException(f"exit code {done.returncode}: {summary}")


with DAG(
    "shoal",
    start_date=datetime(2025, 1, 1),
    schedule="30 4 * * *",
    catchup=True,
    max_active_runs=1,
) as dag:
    PythonOperator(
        task_id="run",
        python_callable=shoal,
        op_args=["{{ data_interval_start | ds }}"],
        retries=5,
        retry_delay=timedelta(minutes=2),
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(minutes=30),
    )
