from airflow.models import BaseOperator


class SalesOperator(BaseOperator):
    template_fields = ("sql",)

    def __init__(self, sales_conn_id="sales_default", **kwargs):
        self.sales_conn_id = sales_conn_id
        super().__init__(**kwargs)

    def execute(self, context):
        return SalesHook(sales_conn_id=self.sales_conn_id)  #> sales_default?
