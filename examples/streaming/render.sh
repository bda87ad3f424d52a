#!/bin/sh
# render.sh FROM TO makes a page of every text.
set -e
mkdir -p "$2"
for text in "$1"/*.txt; do
	page=${text##*/}
	page=$2/${page%.txt}.html
	echo "rendering $page"
	{
		echo '<!doctype html>'
		echo '<pre>'
		cat "$text"
		echo '</pre>'
	} > "$page"
	sleep 0.2
done
