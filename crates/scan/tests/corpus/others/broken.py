from dataflow.dataflow import Dataflow

dataflow = Dataflow()
dataflow.connection("before")  #> before

def broken(:
    print "what is this"

dataflow.connection("after")  #> after
