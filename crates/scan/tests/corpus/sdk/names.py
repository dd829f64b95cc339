"""Every shape in which the SDK's door is opened."""

import dataflow
import dataflow.dataflow as module
from dataflow import Dataflow
from dataflow.dataflow import Dataflow as D

df = Dataflow()
df.connection("plain")  #> plain
df.connection("with-mode", mode="engine")  #> with-mode
df.connection(conn_id="keyword")  #> keyword
df.connection(mode="url", conn_id="keyword.second")  #> keyword.second
Dataflow().connection("direct")  #> direct
D(workspace="prod").connection("alias")  #> alias
dataflow.Dataflow().connection("module")  #> module
dataflow.dataflow.Dataflow().connection("whole.module")  #> whole.module
module.Dataflow().connection("module.alias")  #> module.alias
(Dataflow()).connection("in-brackets")  #> in-brackets
with Dataflow().connection("with") as db:  #> with
    db.execute("SELECT 1")
with Dataflow() as inner:
    inner.connection("with-object")  #> with-object
Dataflow().connection(
    # The name stands in a line of its own.
    "own-line",  #> own-line
    mode="session",
)
(
    Dataflow()
    .connection("chained")  #> chained
    .execute("SELECT 1")
)
if (walrus := Dataflow()).connection("walrus"):  #> walrus
    walrus.connection("walrus-later")  #> walrus-later
connect = df.connection
connect("method")  #> method
engines = {name: df.connection(name) for name in ("one", "two")}  #> one, two
Handle = Dataflow
Handle().connection("class-alias")  #> class-alias


class Client(Dataflow):
    pass


Client().connection("subclass")  #> subclass


class Job:
    dataflow = Dataflow()

    def __init__(self, given: Dataflow, other):
        self.mine = Dataflow()
        self.given = given
        self.other = other

    def run(self, unknown, typed: "Dataflow", default=df):
        self.mine.connection("attribute")  #> attribute
        self.dataflow.connection("class-attribute")  #> class-attribute
        self.given.connection("typed-attribute")  #> typed-attribute
        typed.connection("typed")  #> typed
        default.connection("default-object")  #> default-object
        unknown.connection("unknown")  #> unknown?
        self.other.connection("other")  #> other?
        make().connection("made")  #> made?
        return lambda: df.connection("lambda")  #> lambda


async def later():
    return await df.connection("async", mode="async_session").execute("SELECT 1")  #> async


print(f"rows: {df.connection('inside-f-string')}")  #> inside-f-string
df.connection("not a name")
df.connection("")
df.connection("_private")
df.connection(None)
df.connection(b"bytes")
df.connection(7)
df.connection()
df.connection(*names)
# df.connection("comment")
text = 'df.connection("in a string")'
