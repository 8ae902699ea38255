"""TAXII 2.1 (OASIS Standard, 10 June 2021): the server that members share through, and the client that polls others."""
