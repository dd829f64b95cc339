from dataflow.dataflow import Dataflow
print "old", Dataflow().connection("old")  #> old
