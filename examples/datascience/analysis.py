# Makes a table of orders, describes it, and saves it as orders.csv.
try:
    import numpy
    import pandas
except ImportError:
    numpy = pandas = None

ROWS = 200
REGIONS = ["north", "east", "south", "west"]


def with_pandas():
    rng = numpy.random.default_rng(7)
    spent = rng.normal(500, 100, ROWS).round(2)
    orders = pandas.DataFrame({
        "region": rng.choice(REGIONS, ROWS),
        "advertising": spent,
        "revenue": (spent * 1.8 + rng.normal(150, 60, ROWS)).round(2),
    })
    print(orders.describe().round(2))
    print("correlation of advertising and revenue: %.3f" % orders["advertising"].corr(orders["revenue"]))
    print(orders.groupby("region")["revenue"].agg(["count", "mean", "std"]).round(2))
    orders.to_csv("orders.csv", index=False)


def with_the_standard_library():
    import csv
    import random
    import statistics

    random.seed(7)
    orders = []
    for _ in range(ROWS):
        spent = random.gauss(500, 100)
        orders.append((random.choice(REGIONS), round(spent, 2), round(spent * 1.8 + random.gauss(150, 60), 2)))
    for column, name in ((1, "advertising"), (2, "revenue")):
        values = [row[column] for row in orders]
        print("%-12s mean %.2f  std %.2f  min %.2f  max %.2f" % (
            name, statistics.mean(values), statistics.stdev(values), min(values), max(values)))
    mean = [statistics.mean(row[column] for row in orders) for column in (1, 2)]
    top = sum((a - mean[0]) * (r - mean[1]) for _, a, r in orders)
    below = sum((a - mean[0]) ** 2 for _, a, _ in orders) * sum((r - mean[1]) ** 2 for _, _, r in orders)
    print("correlation of advertising and revenue: %.3f" % (top / below ** 0.5))
    for region in REGIONS:
        values = [r for where, _, r in orders if where == region]
        print("%-6s %3d orders  mean %.2f  std %.2f" % (region, len(values), statistics.mean(values), statistics.stdev(values)))
    with open("orders.csv", "w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["region", "advertising", "revenue"])
        table.writerows(orders)


if pandas:
    with_pandas()
else:
    print("pandas and numpy are not here: using the standard library instead")
    with_the_standard_library()
