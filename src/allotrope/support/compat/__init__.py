"""What we use of other packages' private parts: only here, each with the reason and its loss.

`tests/front/test_compat.py` has a canary for each, which says what a new version changed;
`tests/front/test_house.py` holds that no other module touches one.
"""
