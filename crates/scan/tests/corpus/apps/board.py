import streamlit as st
from dataflow.dataflow import Dataflow

st.connection("streamlits-own", type="sql")
db = Dataflow().connection("board")  #> board
