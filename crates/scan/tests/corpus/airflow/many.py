import airflow
from airflow.models.dag import DAG as Flow
from airflow.sdk import dag as pipeline, task, Connection

NAME = "named"
first = Flow(dag_id="first")
second = Flow(NAME)

FooOperator(task_id="a", foo_conn_id="in-first", dag=first)  #> in-first @first
FooOperator(task_id="b", foo_conn_id="in-second", dag=second)  #> in-second @named
FooOperator(task_id="c", foo_conn_id="in-none")  #> in-none @

with Flow("third"), other():
    FooOperator(task_id="d", foo_conn_id="in-third")  #> in-third @third

for client in ["x", "y"]:
    with Flow(f"made_{client}"):
        FooOperator(task_id="e", foo_conn_id="in-made")  #> in-made @


@pipeline(schedule="@daily")
def fourth():
    @task
    def load():
        return Connection.get("in-fourth")  #> in-fourth @fourth

    @task.sql(conn_id="decorated")  #> decorated @fourth
    def query():
        return "SELECT 1"

    FooHook(foo_conn_id="hook-in-fourth")  #> hook-in-fourth @fourth
    load() >> query()


@airflow.decorators.dag(dag_id="fifth")
def whatever():
    FooHook(foo_conn_id="in-fifth")  #> in-fifth @fifth


fourth()
