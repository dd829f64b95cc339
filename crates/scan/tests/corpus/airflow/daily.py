from datetime import datetime

from airflow import DAG
from airflow.hooks.base import BaseHook
from airflow.models import Connection
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.postgres.hooks import postgres as pg
from airflow.providers.postgres.operators.postgres import PostgresOperator
from dataflow.dataflow import Dataflow

WAREHOUSE = "warehouse"
default_args = {"owner": "ada", "postgres_conn_id": "defaults"}  #> defaults @daily_sales


def extract():
    pg.PostgresHook(postgres_conn_id="hook")  #> hook @daily_sales
    pg.PostgresHook("first")  #> first? @daily_sales
    HttpHook("GET", http_conn_id="http")  #> http @daily_sales
    BaseHook.get_connection("base")  #> base @daily_sales
    BaseHook.get_hook(conn_id="base-hook")  #> base-hook @daily_sales
    Connection.get_connection_from_secrets("secrets")  #> secrets @daily_sales
    client.get_connection("perhaps")  #> perhaps? @daily_sales
    Dataflow().connection("ours")  #> ours @daily_sales


with DAG("daily_sales", default_args=default_args, start_date=datetime(2026, 1, 1)) as dag:
    load = PostgresOperator(
        task_id="load",
        postgres_conn_id=WAREHOUSE,  #> warehouse @daily_sales
        sql="SELECT 1",
    )
    SQLExecuteQueryOperator(task_id="query", conn_id="query", sql="SELECT 1")  #> query @daily_sales
    SQLExecuteQueryOperator.partial(task_id="many", conn_id="mapped").expand(sql=["a", "b"])  #> mapped @daily_sales
    BashOperator(task_id="bash", bash_command="psql -h {{ conn.templated.host }}")  #> templated @daily_sales
    BashOperator(
        task_id="bash2",
        bash_command="""
            echo {{ ds }}
            psql {{ conn.get("by-get").host }}  # {{ conn.second.port }} #> by-get @daily_sales, second @daily_sales
        """,
    )
    S3KeySensor(task_id="wait", aws_conn_id="aws", bucket_key="x")  #> aws @daily_sales
    for region in ["eu", "us"]:
        PostgresOperator(task_id=f"load_{region}", postgres_conn_id=f"sales_{region}")  #> sales_eu @daily_sales, sales_us @daily_sales
    PostgresOperator(task_id="none", postgres_conn_id=None)
    PostgresOperator(task_id="computed", postgres_conn_id=pick())  #> ??
    make_task(source_conn_id="helper")  #> helper? @daily_sales
    PythonOperator(task_id="kwargs", python_callable=extract, op_kwargs={"source_conn_id": "in-dict"})  #> in-dict? @daily_sales
