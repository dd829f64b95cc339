from celery import Celery
from dataflow.dataflow import Dataflow

app = Celery()


@app.task
def run():
    Dataflow().connection("worker")  #> worker
    app.connection("celerys-own").ensure_connection()
