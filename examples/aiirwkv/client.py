"""The web client of the services: streamlit run client.py"""

import streamlit as st

from kvasir.frontends.services.web_client import parts

app = st.App(**parts("ragq.yml"))
