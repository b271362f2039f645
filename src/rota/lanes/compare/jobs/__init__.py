"""The built-in jobs of ``rota compare``: job files like any other, to be read and copied from."""
