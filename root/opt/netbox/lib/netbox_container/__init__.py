"""What makes NetBox a container: reads the environment, prepares the database,
serves the pages and checks that it works.

environment    the variables, what each accepts and its default
keys           secrets that are generated once and kept
configuration  NetBox's settings, made from the variables and the user's files
check          first service: finds every mistake before anything is touched
services       waits for PostgreSQL and Redis
snapshot       makes and loads the ready-made schema
prepare        second service: brings the database up to date
serve          third service: keeps the web server and the workers running
web, worker    those two
metrics        adds the metrics of the web server's processes up
health         asks whether the container works
"""
