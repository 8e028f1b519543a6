"""What a service keeps beside the documents: accounts, jobs, questions, mail and its log.

The types are the wire types of the front doors; the protocols are what these call, reached as
``app.accounts``, ``app.jobs``, ``app.questions`` and so on. All times are UTC.
"""
