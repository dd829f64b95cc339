"""Who asks in Airflow and in CI."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from dataflow import workflow
from pretend import SCRIPT, in_pytest, instance


def test_a_task_of_airflow_has_its_place_in_a_mapping_and_its_attempt(place):
    place.begin()
    context = SimpleNamespace(_CURRENT_CONTEXT=[])
    place.module("airflow.models.taskinstance", context)  # Airflow 2.11
    assert workflow.current() == SCRIPT
    for other, run_of_it in (
        ({}, "manual__7#2"),
        ({"map_index": 0}, "manual__7[0]#2"),
        ({"map_index": 12, "try_number": 1}, "manual__7[12]#1"),
    ):
        context._CURRENT_CONTEXT = [{"ti": instance(task_id="outer")}, {"ti": instance(**other)}]
        assert workflow.current() == ("pipeline", "nightly.load", run_of_it)


def test_what_a_task_of_airflow_starts_knows_it_by_its_variables(place):
    place.begin()
    for name, value, wanted in (
        ("DAG_ID", "nightly", ("nightly", None)),
        ("TASK_ID", "group.load", ("nightly.group.load", None)),
        ("DAG_RUN_ID", "scheduled__2026-11-29T00:00:00+00:00", ("nightly.group.load", "scheduled__2026-11-29T00:00:00+00:00")),
        ("TRY_NUMBER", "2", ("nightly.group.load", "scheduled__2026-11-29T00:00:00+00:00#2")),
    ):
        place.setenv(f"AIRFLOW_CTX_{name}", value)
        assert workflow.current() == ("pipeline", *wanted)


def test_a_trigger_of_airflow_3_is_the_task_that_waits_for_it(place):
    """As Airflow 3.3.2: the triggerer names the asyncio task of each trigger, and since 3.3 it binds variables for the log."""
    place.begin()
    place.module("airflow.jobs.triggerer_job_runner", SimpleNamespace())
    place.module("airflow.utils.log.trigger_handler", None)

    async def named(name: str):
        async def trigger():
            return workflow.current()

        return await asyncio.create_task(trigger(), name=name)

    assert asyncio.run(named("nightly/manual__7/wait/-1/2 (ID 7)")) == ("pipeline", "nightly.wait", "manual__7#2")
    assert asyncio.run(named("nightly/manual__7/wait/3/1 (ID 8)")) == ("pipeline", "nightly.wait", "manual__7[3]#1")
    assert asyncio.run(named("ID 7")) == SCRIPT  # of an asset, for no task
    assert workflow.current() == SCRIPT
    bound = vars(instance(task_id="wait", map_index=3))
    place.module("structlog.contextvars", SimpleNamespace(get_contextvars=lambda: bound))
    assert workflow.current() == ("pipeline", "nightly.wait", "manual__7[3]#2")


CI = {
    "GitHub Actions": (
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "shop/etl",
            "GITHUB_WORKFLOW": "Nightly load",
            "GITHUB_JOB": "load",
            "GITHUB_RUN_ID": "1234",
            "GITHUB_RUN_ATTEMPT": "2",
        },
        ("shop/etl/Nightly load/load", "1234#2"),
    ),
    "GitLab": (
        {"GITLAB_CI": "true", "CI_PROJECT_PATH": "shop/data/etl", "CI_JOB_NAME": "load 2/5", "CI_PIPELINE_ID": "77"},
        ("shop/data/etl/load", "77"),
    ),
    "GitLab, a matrix": (
        {"GITLAB_CI": "true", "CI_PROJECT_PATH": "shop/etl", "CI_JOB_NAME": "load: [eu, 1/2 tons]"},
        ("shop/etl/load: [eu, 1/2 tons]", None),
    ),
    "Buildkite": (
        {
            "BUILDKITE": "true",
            "BUILDKITE_ORGANIZATION_SLUG": "shop",
            "BUILDKITE_PIPELINE_SLUG": "etl",
            "BUILDKITE_LABEL": "Load",
            "BUILDKITE_BUILD_NUMBER": "9",
        },
        ("shop/etl/Load", "9"),
    ),
    "CircleCI": (
        {
            "CIRCLECI": "true",
            "CIRCLE_PROJECT_USERNAME": "shop",
            "CIRCLE_PROJECT_REPONAME": "etl",
            "CIRCLE_JOB": "load",
            "CIRCLE_BUILD_NUM": "31",
        },
        ("shop/etl/load", "31"),
    ),
    "Azure Pipelines": (
        {
            "TF_BUILD": "True",
            "SYSTEM_TEAMPROJECT": "Shop",
            "BUILD_DEFINITIONNAME": "Nightly",
            "SYSTEM_STAGENAME": "__default",
            "SYSTEM_PHASENAME": "load",
            "BUILD_BUILDID": "5",
        },
        ("Shop/Nightly/load", "5"),
    ),
    "Jenkins": (
        {"JENKINS_URL": "https://ci.example.org/", "JOB_NAME": "etl/main", "BUILD_NUMBER": "8", "BUILD_ID": "8"},
        ("etl/main", "8"),
    ),
    "Jenkins without an address": ({"JENKINS_HOME": "/var/jenkins", "JOB_NAME": "etl"}, ("etl", None)),
}


@pytest.mark.parametrize("service", CI)
def test_a_job_of_ci_is_told_by_its_repository_and_its_name(place, service):
    variables, wanted = CI[service]
    place.begin()
    place.setenv("CI", "true")
    for name, value in variables.items():
        place.setenv(name, value)
    assert workflow.current() == ("pipeline", *wanted)


def test_what_a_job_of_ci_leaves_running_is_not_that_job(place):
    place.begin()
    place.setenv("JENKINS_URL", "https://ci.example.org/")
    place.setenv("JOB_NAME", "deploy")
    place.setenv("BUILD_ID", "dontKillMe")
    place.serve()
    assert workflow.current() == ("app", "/work/etl.py", None)


def test_ci_that_nobody_knows_runs_pipelines(place):
    place.begin()
    place.setenv("CI", "1")
    assert workflow.current() == ("pipeline", "/work/etl.py", None)
    in_pytest(place)
    assert workflow.current() == ("pipeline", "tests/test_a.py::test_b", None)
    place.serve()
    assert workflow.current()[0] == "app"
