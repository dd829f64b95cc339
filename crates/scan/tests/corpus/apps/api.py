from fastapi import Depends, FastAPI

from .deps import dataflow

app = FastAPI()


@app.get("/")
def read(df=Depends(dataflow)):
    return df.connection("api")  #> api?
