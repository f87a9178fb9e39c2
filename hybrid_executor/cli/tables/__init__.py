"""The commands of ``airflow hybrid ...`` as tables: names, arguments, and the import path of each function.

Every ``airflow`` command imports these modules. So they only name the functions, which are imported
when they are called. Help texts are Rich markup: write "in section celery", since "[celery]" would
be taken for markup and vanish.
"""
